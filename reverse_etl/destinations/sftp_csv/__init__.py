"""CSV files on an SFTP server."""
