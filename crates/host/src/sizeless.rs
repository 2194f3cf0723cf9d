//! Parameters by which a few bytes become gigabytes: lists of what takes no bytes.
//!
//! A list in BSATN is a length and its elements, one after the other. Where an element takes no bytes (a struct without
//! fields, `()`), nothing bounds the length, and the engine's decoder makes as many elements as it says, up to 2³². A host
//! cannot stop that at a call, which the engine decodes, so modules with such parameters are refused at publish. Pure.

use spacetimedb_lib::{AlgebraicType, ProductType};
use spacetimedb_sats::{AlgebraicTypeRef, Typespace};
use spacetimedb_schema::def::ModuleDef;

/// The first function of a module with a list of what takes no bytes in a parameter, and the parameter's name.
pub(crate) fn sizeless_list(module: &ModuleDef) -> Option<(String, String)> {
    let reducers = module.reducers().map(|it| (it.name.to_string(), &it.params));
    let procedures = module.procedures().map(|it| (it.name.to_string(), &it.params));
    let types = module.typespace();
    reducers.chain(procedures).find_map(|(function, params)| Some((function, parameter(types, params)?)))
}

fn parameter(types: &Typespace, params: &ProductType) -> Option<String> {
    let found = params.elements.iter().position(|it| holds(types, &it.algebraic_type, &mut Vec::new()))?;
    let name = params.elements[found].name().map(ToString::to_string);
    Some(name.unwrap_or_else(|| found.to_string()))
}

/// Whether a value of this type may hold such a list. `seen` ends the walk through types that hold themselves.
fn holds(types: &Typespace, ty: &AlgebraicType, seen: &mut Vec<AlgebraicTypeRef>) -> bool {
    match ty {
        AlgebraicType::Ref(to) => {
            if seen.contains(to) {
                return false;
            }
            seen.push(*to);
            types.get(*to).is_some_and(|ty| holds(types, ty, seen))
        }
        AlgebraicType::Product(product) => product.elements.iter().any(|it| holds(types, &it.algebraic_type, seen)),
        AlgebraicType::Sum(sum) => sum.variants.iter().any(|it| holds(types, &it.algebraic_type, seen)),
        AlgebraicType::Array(array) => {
            is_sizeless(types, &array.elem_ty, &mut Vec::new()) || holds(types, &array.elem_ty, seen)
        }
        _ => false,
    }
}

/// Whether every value of this type takes no bytes. A sum has a tag; a type that holds itself, only through one that has.
fn is_sizeless(types: &Typespace, ty: &AlgebraicType, above: &mut Vec<AlgebraicTypeRef>) -> bool {
    match ty {
        AlgebraicType::Ref(to) => {
            if above.contains(to) {
                return false;
            }
            above.push(*to);
            let sizeless = types.get(*to).is_some_and(|ty| is_sizeless(types, ty, above));
            above.pop();
            sizeless
        }
        AlgebraicType::Product(product) => {
            product.elements.iter().all(|it| is_sizeless(types, &it.algebraic_type, above))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(ty: AlgebraicType, types: &Typespace) -> Option<String> {
        parameter(types, &ProductType::from([("fine", AlgebraicType::String), ("wrong", ty)]))
    }

    #[test]
    fn lists_of_what_takes_no_bytes_are_found_wherever_they_are() {
        let mut types = Typespace::default();
        let empty = types.add(AlgebraicType::unit());
        let wrapped = AlgebraicType::product([("inner", AlgebraicType::Ref(empty))]);
        let list = AlgebraicType::array;
        for ty in [
            list(AlgebraicType::unit()),
            list(AlgebraicType::Ref(empty)),
            list(wrapped.clone()),
            list(list(AlgebraicType::unit())),
            AlgebraicType::option(list(wrapped.clone())),
            AlgebraicType::product([("deep", list(wrapped.clone()))]),
        ] {
            assert_eq!(first(ty.clone(), &types).as_deref(), Some("wrong"), "{ty:?}");
        }
    }

    #[test]
    fn what_takes_bytes_may_be_listed_and_what_takes_none_may_stand_alone() {
        let mut types = Typespace::default();
        let tree = types.add(AlgebraicType::unit());
        types[tree] = AlgebraicType::product([("children", AlgebraicType::array(AlgebraicType::Ref(tree)))]);
        for ty in [
            AlgebraicType::unit(),
            AlgebraicType::bytes(),
            AlgebraicType::array(AlgebraicType::option(AlgebraicType::unit())),
            AlgebraicType::array(AlgebraicType::array(AlgebraicType::U8)),
            AlgebraicType::Ref(tree),
        ] {
            assert_eq!(first(ty.clone(), &types), None, "{ty:?}");
        }
    }
}
