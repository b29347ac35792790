"""Mailchimp list members and members of static segments."""
