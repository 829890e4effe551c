"""Make what a deployment needs at Google: bucket, topics, subscriptions, rights; and find what is there already."""
