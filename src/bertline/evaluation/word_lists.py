"""Words that the generic behavioural tests exchange. Each list is in the order in which it is drawn from."""

FEMALE_NAMES = (
    *("Aisha", "Anna", "Barbara", "Elena", "Elizabeth", "Emma", "Fatima", "Hannah", "Helen", "Jane", "Julia"),
    *("Karen", "Kate", "Laura", "Lena", "Linda", "Margaret", "Maria", "Mary", "Mei", "Nina", "Olga", "Priya"),
    *("Sarah", "Sofia", "Susan", "Yuki", "Zoe"),
)
MALE_NAMES = (
    *("Ahmed", "Carlos", "Charles", "Daniel", "David", "Edward", "George", "Henry", "Ivan", "James", "John"),
    *("Joseph", "Kenji", "Luis", "Martin", "Michael", "Mohammed", "Omar", "Paul", "Peter", "Ravi"),
    *("Richard", "Robert", "Thomas", "William"),
)
"""Apart, because "her" and "his" in the rest of a text stay."""

CITIES = (
    *("Amsterdam", "Athens", "Bangkok", "Barcelona", "Berlin", "Bogota", "Boston", "Cairo", "Chicago"),
    *("Dublin", "Hamburg", "Istanbul", "Jakarta", "Lagos", "Lima", "Lisbon", "London", "Los Angeles"),
    *("Madrid", "Manila", "Miami", "Moscow", "Mumbai", "Nairobi", "New York", "Oslo", "Paris", "Prague"),
    *("Rome", "San Francisco", "Santiago", "Seattle", "Seoul", "Stockholm", "Sydney", "Tokyo", "Toronto"),
    *("Vienna", "Warsaw", "Zurich"),
)
CONTRACTIONS = (
    *(("are not", "aren't"), ("cannot", "can't"), ("could not", "couldn't"), ("did not", "didn't")),
    *(("does not", "doesn't"), ("do not", "don't"), ("has not", "hasn't"), ("have not", "haven't")),
    *(("he is", "he's"), ("how is", "how's"), ("i am", "i'm"), ("i have", "i've"), ("is not", "isn't")),
    *(("it is", "it's"), ("she is", "she's"), ("should not", "shouldn't"), ("that is", "that's")),
    *(("there is", "there's"), ("they are", "they're"), ("was not", "wasn't"), ("we are", "we're")),
    *(("were not", "weren't"), ("what is", "what's"), ("when is", "when's"), ("where is", "where's")),
    *(("who is", "who's"), ("will not", "won't"), ("would not", "wouldn't"), ("you are", "you're")),
)
"""Phrases and their contractions, in lower case."""

SIGNATURES = ("Best regards, Alex", "Kind regards, Sam", "Thanks, Robin", "Cheers, Kim")
