"""The demo: what does a person see of all this?"""
