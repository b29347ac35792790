"""OneID from the outside: questions about persons, previews of changed rules, and the same models on anybody's file."""
