if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["busgrant.dev/paused"] = "true"
return obj
