"""SMTP: e-mails."""
