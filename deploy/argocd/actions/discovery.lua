local annotations = obj.metadata.annotations or {}
local paused = annotations["busgrant.dev/paused"] == "true"
return {
  reconcile = {displayName = "Look at the bus now", iconClass = "fa fa-fw fa-refresh"},
  pause = {disabled = paused, displayName = "Pause puts and edits", iconClass = "fa fa-fw fa-pause"},
  resume = {disabled = not paused, displayName = "Go on", iconClass = "fa fa-fw fa-play"},
}
