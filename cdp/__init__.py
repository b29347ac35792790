"""What every folder of Tributary reads: settings, the warehouse handle, the declaration loader, the command line."""
