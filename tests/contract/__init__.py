"""Does the API keep the agreed contract? Checks of the document, the operations, the messages."""
