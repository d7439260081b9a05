"""Do metrics and alerts follow the bot's engine? Real conditions, real alerts."""
