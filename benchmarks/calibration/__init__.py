"""The verdict's forecast and intervals, held to simulated training and rehearsals."""
