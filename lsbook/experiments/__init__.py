"""What each chapter asks: which runs, which tables. Recorded runs are used; only missing ones are trained."""
