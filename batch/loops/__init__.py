"""The loops that act on a tenant: send, settle, track, cancel and precheck, with the ports that they need."""
