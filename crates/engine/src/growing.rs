//! Functions whose values may be far larger than what they are made of, such as `repeat`.
//!
//! The engine counts what its operators keep, not what a function returns: a few words of SQL
//! would take all memory, and while the statement is planned if their arguments are constants.
//! Here such values are counted too: before they are made and as long as they live.

mod concat;
mod size;

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayData, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, FieldRef};
use bytes::Bytes;
use datafusion::common::ExprSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

pub(crate) use self::concat::Concatenation;

/// What one call with constants may give: a plan holds it as long as it lives, which nobody counts.
const CONSTANT_BYTES_MAX: usize = 256 << 10;
/// Smaller results are not counted: what keeps rows counts them itself.
const COUNTED_BYTES_MIN: usize = 256 << 10;

/// Functions of the engine that may give more than they take.
const GROWING: [&str; 22] = [
    "array_append",
    "array_concat",
    "array_prepend",
    "array_repeat",
    "array_resize",
    "array_to_string",
    "concat",
    "concat_ws",
    "encode",
    "generate_series",
    "lpad",
    "make_array",
    "map",
    "named_struct",
    "overlay",
    "range",
    "regexp_replace",
    "repeat",
    "replace",
    "rpad",
    "struct",
    "translate",
];

/// Gives a session bounded ones instead of its own; they count in its pool.
pub(crate) fn bound_growing(state: &mut SessionState) -> Result<()> {
    let pool = Arc::clone(&state.runtime_env().memory_pool);
    for name in GROWING {
        let Ok(function) = state.udf(name) else { continue };
        state.register_udf(Arc::new(bounded(&function, &pool)))?;
    }
    Ok(())
}

/// The same function with what it gives counted in this pool.
pub fn bounded(function: &ScalarUDF, pool: &Arc<dyn MemoryPool>) -> ScalarUDF {
    let inner = Arc::clone(function.inner());
    ScalarUDF::new_from_shared_impl(Arc::new(Bounded { inner, pool: Arc::clone(pool) }))
}

#[derive(Debug)]
struct Bounded {
    inner: Arc<dyn ScalarUDFImpl>,
    pool: Arc<dyn MemoryPool>,
}

/// They are the same function whichever pool they count in.
impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner.as_ref().dyn_eq(other.inner.as_ref() as &dyn Any)
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.dyn_hash(state);
    }
}

impl Bounded {
    fn too_large(&self, bytes: usize) -> DataFusionError {
        DataFusionError::Execution(format!(
            "{} of constants would give {bytes} bytes, and {CONSTANT_BYTES_MAX} are allowed",
            self.inner.name()
        ))
    }
}

/// What keeps a buffer's memory counted.
struct Counted {
    buffer: Buffer,
    _reservation: Arc<MemoryReservation>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

fn counted(data: &ArrayData, reservation: &Arc<MemoryReservation>) -> Result<ArrayData> {
    let buffers = data.buffers().iter().map(|buffer| {
        let owner = Counted { buffer: buffer.clone(), _reservation: Arc::clone(reservation) };
        Buffer::from(Bytes::from_owner(owner))
    });
    let buffers = buffers.collect();
    let children = data.child_data().iter().map(|child| counted(child, reservation));
    let children = children.collect::<Result<Vec<_>>>()?;
    Ok(data.clone().into_builder().buffers(buffers).child_data(children).build()?)
}

// It is not simplified into one that is not bounded.
impl ScalarUDFImpl for Bounded {
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let expected = size::expected(self.inner.name(), &args)?;
        if is_constant && expected > CONSTANT_BYTES_MAX {
            return Err(self.too_large(expected));
        }
        if expected < COUNTED_BYTES_MIN {
            return self.inner.invoke_with_args(args);
        }
        let reservation = MemoryConsumer::new(format!("the function {}", self.inner.name())).register(&self.pool);
        reservation.try_grow(expected)?;
        match self.inner.invoke_with_args(args)? {
            ColumnarValue::Array(array) => {
                let bytes = array.get_buffer_memory_size();
                reservation.try_resize(bytes)?;
                if bytes < COUNTED_BYTES_MIN {
                    return Ok(ColumnarValue::Array(array));
                }
                Ok(ColumnarValue::Array(make_array(counted(&array.to_data(), &Arc::new(reservation))?)))
            }
            scalar => Ok(scalar),
        }
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    #[expect(deprecated, reason = "the engine calls it")]
    fn is_nullable(&self, args: &[Expr], schema: &dyn ExprSchema) -> bool {
        self.inner.is_nullable(args, schema)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

#[cfg(test)]
mod tests;
