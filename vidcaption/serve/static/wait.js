// Looks again. A refresh by the page itself would do nothing where the address has a fragment.
setTimeout(() => location.reload(), 500);
