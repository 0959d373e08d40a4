"""A real experiment, rehearsed: 64,000 customers get (simulated) WhatsApp messages instead of e-mails.

`python -m examples.hillstrom FILE` imports the people of Kevin Hillstrom's MineThatData e-mail challenge (2008), runs a
three-arm campaign over them against the simulator, whose people visit at the rates that the real customers did, and
compares the report with the truth. The file is not part of this repository.
"""
