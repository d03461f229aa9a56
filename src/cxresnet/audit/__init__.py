"""Did the model read lungs, or the hospital? One file a question, for our networks and anyone's."""
