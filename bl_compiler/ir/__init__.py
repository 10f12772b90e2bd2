"""The intermediate representation: types, ops, graphs, their text and JSON forms, their verifier."""
