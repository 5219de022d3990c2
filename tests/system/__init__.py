"""The whole product on one machine: started, used, broken and checked as a user would, through its own doors."""
