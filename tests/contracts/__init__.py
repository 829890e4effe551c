"""Hold recorded calls of the stand-ins to Google's own documents of its services, which neither product nor stand-ins wrote."""
