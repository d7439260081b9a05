"""The paper exchange: prices, orders and fills, and the independent witness of what was ordered."""
