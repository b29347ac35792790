"""Customer.io people, objects, events and segments."""
