local hs = {status = "Progressing", message = "Waiting for the controller"}
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return {status = "Degraded", message = conditions.Stalled.message}
end
if conditions.Reconciling ~= nil and conditions.Reconciling.status == "True" then
  hs.message = conditions.Reconciling.message
  return hs
end
if conditions.Ready ~= nil then
  hs.message = conditions.Ready.message
  if conditions.Ready.status == "True" then
    hs.status = "Healthy"
  elseif conditions.Ready.status == "False" then
    hs.status = "Degraded"
  end
end
return hs
