"""The exercises, a file or folder a day: importing one declares its exercises."""
