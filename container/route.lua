-- Sends each radiograph that Orthanc stores to CXResnet. The objects that come back (Structured
-- Report, Parametric Map, Secondary Capture) are of other classes, so nothing goes round in circles.

local RADIOGRAPHS = {
  ["1.2.840.10008.5.1.4.1.1.1"] = "CR",
  ["1.2.840.10008.5.1.4.1.1.1.1"] = "DX for presentation",
  ["1.2.840.10008.5.1.4.1.1.1.1.1"] = "DX for processing",
}

function OnStoredInstance(instanceId, tags, metadata, origin)
  if RADIOGRAPHS[tags["SOPClassUID"]] and origin["RemoteAet"] ~= "CXRESNET" then
    SendToModality(instanceId, "cxresnet")
  end
end
