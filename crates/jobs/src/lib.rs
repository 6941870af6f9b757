//! Background work: a durable queue, schedules and the jobs themselves.
