"""How often drift is called where there is none, and how often where there is, by simulation."""
