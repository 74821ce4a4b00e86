"""Agents for others: what `worldmodels push` writes to the Hugging Face Hub."""
