local annotations = obj.metadata.annotations or {}
annotations["busgrant.dev/paused"] = nil
-- Argo CD takes an empty table for an unchanged one.
if next(annotations) == nil then
  obj.metadata.annotations = nil
end
return obj
