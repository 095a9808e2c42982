//! Facts between domain and wire, form only: a record that was once written must always be read, so no limit that may change
//! stands here. Limits on what people send stand in `draft`.

pub(crate) mod alerts;
pub(crate) mod reference;
pub(crate) mod returns;
pub(crate) mod surveillance;
