"""HubSpot CRM contacts."""
