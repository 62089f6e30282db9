"""Which bytes stand for which values?"""
