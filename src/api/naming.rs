//! Names made of hashes: the object's part of a Sid, the owner's by default, and the hash of a statement's content.

use busgrant_policy::{InvalidId, ObjectId, Owner, Statement};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

/// The object's part of its Sids: 12 base32 characters of a hash of its namespace and name, 60 bits, so that nobody can
/// search for a name whose statements would be another's.
pub fn object_id(namespace: &str, name: &str) -> Result<ObjectId, InvalidId> {
    base32(&format!("{namespace}/{name}"), 12).parse()
}

/// The owner where none is set: 6 base32 characters of a hash of the kube-system namespace's UID, which no two clusters
/// share.
pub fn default_owner(kube_system_uid: &str) -> Result<Owner, InvalidId> {
    base32(kube_system_uid, 6).parse()
}

/// What a statement says, in 16 hexadecimal characters; its Sid and the order of its parts don't count.
pub fn content_hash(statement: &Statement) -> String {
    let text = statement.to_text();
    let content = text.replacen(statement.sid.as_str(), "", 1);
    HEXLOWER.encode(&Sha256::digest(content)[..8])
}

fn base32(text: &str, length: usize) -> String {
    let mut name = BASE32_NOPAD.encode(&Sha256::digest(text)).to_ascii_lowercase();
    name.truncate(length);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_change_between_versions() {
        // A change here would orphan every statement of every installation.
        assert_eq!(object_id("billing", "billing").unwrap().as_str(), "idoesjlhcycu");
        assert_eq!(default_owner("5a3c1c2e-0d5b-4a0e-9a53-0f6f3a1f2b11").unwrap().as_str(), "4hjpfl");
    }

    #[test]
    fn namespace_and_name_are_told_apart() {
        assert_ne!(object_id("a", "b-c").unwrap(), object_id("a-b", "c").unwrap());
    }
}
