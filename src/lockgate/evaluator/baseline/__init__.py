"""What can every release be held to, without a language model and in seconds?"""
