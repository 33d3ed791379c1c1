//! The iteration order of a Java `HashMap` with string keys.
//!
//! The service returns statements that were put one by one in an order that is not that of insertion, and it fits
//! this exactly: first, second, principal, condition read back as principal, condition, first, second
//! (aws-observations #30). Refused action names are listed so, too (#133).

/// `String.hashCode()`, over UTF-16 units, spread as `HashMap` spreads it.
fn spread(key: &str) -> u32 {
    let hash = key.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    hash ^ (hash >> 16)
}

/// Sorts as a map of these keys, inserted in the order given, would iterate. Within a bucket the order stays.
pub(crate) fn sort_as_hash_map<T>(items: &mut [T], key: impl Fn(&T) -> &str) {
    // 16 buckets at first, doubled when more than three quarters full.
    let mut buckets = 16_usize;
    while items.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    items.sort_by_key(|item| spread(key(item)) as usize & (buckets - 1));
}

#[cfg(test)]
mod tests {
    use super::sort_as_hash_map;

    #[test]
    fn statements_read_back_in_the_observed_order() {
        let mut sids = ["first", "second", "principal", "condition"];
        sort_as_hash_map(&mut sids, |sid| sid);
        assert_eq!(sids, ["principal", "condition", "first", "second"], "aws-observations #30");
    }

    #[test]
    fn refused_actions_are_listed_in_the_observed_order() {
        let mut names = ["events:PutPermission", "events:RemovePermission"];
        sort_as_hash_map(&mut names, |name| name);
        assert_eq!(names, ["events:RemovePermission", "events:PutPermission"], "aws-observations #133");
    }
}
