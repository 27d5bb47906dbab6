//! What rules want to know of a Rust file, gathered in one walk over its syntax.
//!
//! Two views, because each sees what the other cannot: the **syntax tree** knows which name is a
//! definition and where a function ends; the **flat tokens** reach into macro bodies. Neither sees
//! comments or the inside of strings, so a rule's own examples never break it.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The kinds of names a file can define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defines {
    Module,
    /// A struct, enum, union, trait or alias.
    Type,
    Function,
    /// A field, a variant, a constant or a static.
    Part,
}

/// A name where it is defined.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) kind: Defines,
}

/// A function with a body.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    /// From `fn` to the closing brace.
    pub(super) lines: RangeInclusive<usize>,
}

/// An `allow` or `expect` attribute.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) line: usize,
    /// What stands between its parentheses.
    pub(super) lints: String,
}

/// One token of the whole file, groups opened up.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Syntax {
    pub(super) definitions: Vec<Definition>,
    pub(super) functions: Vec<Function>,
    pub(super) allowed: Vec<Allowed>,
    pub(super) tokens: Vec<Token>,
    test_lines: Vec<RangeInclusive<usize>>,
}

impl Syntax {
    /// Parses a whole file.
    pub(super) fn parse(text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let mut syntax = Self::default();
        syntax.visit_file(&file);
        let stream: TokenStream = text.parse()?;
        flatten(stream, &mut syntax.tokens);
        Ok(syntax)
    }

    /// Whether the line belongs to `#[cfg(test)]` or `#[test]`.
    pub(super) fn is_test_line(&self, line: usize) -> bool {
        self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    fn define(&mut self, ident: &syn::Ident, kind: Defines) {
        let line = ident.span().start().line;
        self.definitions.push(Definition { name: ident.to_string(), line, kind });
    }

    fn note_test(&mut self, attributes: &[syn::Attribute], item: &impl Spanned) {
        if attributes.iter().any(is_test_attribute) {
            let span = item.span();
            self.test_lines.push(span.start().line..=span.end().line);
        }
    }

    fn note_function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        self.define(&signature.ident, Defines::Function);
        let first = signature.fn_token.span().start().line;
        let last = body.span().end().line;
        self.functions.push(Function { name: signature.ident.to_string(), lines: first..=last });
    }
}

/// `#[test]`, `#[cfg(test)]` and `#[cfg(all(test, …))]`.
fn is_test_attribute(attribute: &syn::Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    if !attribute.path().is_ident("cfg") {
        return false;
    }
    let condition = list.tokens.to_string().replace(' ', "");
    condition == "test" || condition.starts_with("all(test,")
}

impl<'ast> Visit<'ast> for Syntax {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.define(&item.ident, Defines::Module);
        self.note_test(&item.attrs, item);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note_function(&item.sig, &item.block);
        self.note_test(&item.attrs, item);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.note_test(&item.attrs, item);
        visit::visit_item_impl(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note_function(&item.sig, &item.block);
        self.note_test(&item.attrs, item);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        match &item.default {
            Some(body) => self.note_function(&item.sig, body),
            None => self.define(&item.sig.ident, Defines::Function),
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.define(&item.ident, Defines::Type);
        self.note_test(&item.attrs, item);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.define(&item.ident, Defines::Type);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.define(&item.ident, Defines::Type);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.define(&item.ident, Defines::Type);
        visit::visit_item_type(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.define(&item.ident, Defines::Part);
        visit::visit_item_const(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.define(&item.ident, Defines::Part);
        visit::visit_item_static(self, item);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.define(&variant.ident, Defines::Part);
        visit::visit_variant(self, variant);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(ident) = &field.ident {
            self.define(ident, Defines::Part);
        }
        visit::visit_field(self, field);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let path = attribute.path();
        if let syn::Meta::List(list) = &attribute.meta
            && (path.is_ident("allow") || path.is_ident("expect"))
        {
            let line = attribute.span().start().line;
            self.allowed.push(Allowed { line, lints: list.tokens.to_string() });
        }
        visit::visit_attribute(self, attribute);
    }
}

/// Appends every token of `stream`, with the brackets of groups as tokens of their own.
fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let bracket = match group.delimiter() {
                    Delimiter::Parenthesis => "(",
                    Delimiter::Brace => "{",
                    Delimiter::Bracket => "[",
                    Delimiter::None => "",
                };
                tokens.push(Token { text: bracket.to_owned(), line });
                flatten(group.stream(), tokens);
            }
            TokenTree::Ident(ident) => tokens.push(Token { text: ident.to_string(), line }),
            TokenTree::Punct(punct) => tokens.push(Token { text: punct.to_string(), line }),
            TokenTree::Literal(literal) => tokens.push(Token { text: literal.to_string(), line }),
        }
    }
}
