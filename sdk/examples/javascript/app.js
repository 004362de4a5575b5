// Greets people and counts words.

// `local:greet/greet`. An error of the interface is thrown.
export const greet = {
  greet(name) {
    if (name === "") throw "a name is needed";
    return `Hello, ${name}!`;
  },

  count(text) {
    const words = new Map();
    for (const word of text.match(/[^ \t\r\n]+/g) ?? []) words.set(word, (words.get(word) ?? 0) + 1);
    return [...words].map(([text, count]) => ({ text, count }));
  },
};
