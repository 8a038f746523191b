"""A search for better settings of the Trainer: many trainings, each judged on the validation split."""
