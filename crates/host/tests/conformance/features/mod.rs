//! Each engine feature that a foreign module uses, as its clients see it.

mod columns;
mod events;
mod indexes;
mod logs;
mod procedures;
mod routes;
mod schedules;
mod upgrade;
mod views;
mod visibility;
