"""Who is measured: each file fits the model of a job (a JSON file) and prints its figures as one line of JSON."""
