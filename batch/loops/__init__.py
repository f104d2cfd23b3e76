"""What acts: sending, settling, tracking, cancelling, the precheck, and the ports that they need."""
