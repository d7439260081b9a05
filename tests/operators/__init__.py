"""Uses the gate as operators do, each row in a throw-away folder and home: `make operators`."""
