"""The search for a better config: keras-tuner proposes and keeps the books, trials train in processes of their own."""
