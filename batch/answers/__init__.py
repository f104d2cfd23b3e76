"""What an HTTP answer means: the outcome table, dividing a refused request, suspects, and when to stop. Pure."""
