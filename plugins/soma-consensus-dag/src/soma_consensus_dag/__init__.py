"""``consensus-dag``: Mysticeti-C on a DAG of signed blocks."""
