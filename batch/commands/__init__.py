"""One function for each command of the command line: it gathers, decides and acts; the command line prints."""
