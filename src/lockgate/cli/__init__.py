"""The command line: which words does it understand?"""
