//! A simulated disk and clock, an oracle and an operation generator for testing databases.
