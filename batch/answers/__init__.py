"""What an HTTP answer means: the outcome table, splitting, suspects, and when to stop. Pure."""
