"""The explorer: a Streamlit app that walks around in a finished run."""
