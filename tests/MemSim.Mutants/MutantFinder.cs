using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace MemSim.Mutants;

/// <summary>Where a file could be changed, and into what.</summary>
internal static class MutantFinder
{
    private static readonly Dictionary<SyntaxKind, SyntaxKind[]> Operators = new()
    {
        [SyntaxKind.LessThanExpression] = [SyntaxKind.LessThanOrEqualExpression, SyntaxKind.GreaterThanOrEqualExpression],
        [SyntaxKind.LessThanOrEqualExpression] = [SyntaxKind.LessThanExpression, SyntaxKind.GreaterThanExpression],
        [SyntaxKind.GreaterThanExpression] = [SyntaxKind.GreaterThanOrEqualExpression, SyntaxKind.LessThanOrEqualExpression],
        [SyntaxKind.GreaterThanOrEqualExpression] = [SyntaxKind.GreaterThanExpression, SyntaxKind.LessThanExpression],
        [SyntaxKind.EqualsExpression] = [SyntaxKind.NotEqualsExpression],
        [SyntaxKind.NotEqualsExpression] = [SyntaxKind.EqualsExpression],
        [SyntaxKind.LogicalAndExpression] = [SyntaxKind.LogicalOrExpression],
        [SyntaxKind.LogicalOrExpression] = [SyntaxKind.LogicalAndExpression],
        [SyntaxKind.AddExpression] = [SyntaxKind.SubtractExpression],
        [SyntaxKind.SubtractExpression] = [SyntaxKind.AddExpression],
        [SyntaxKind.MultiplyExpression] = [SyntaxKind.DivideExpression],
        [SyntaxKind.LeftShiftExpression] = [SyntaxKind.RightShiftExpression],
        [SyntaxKind.RightShiftExpression] = [SyntaxKind.LeftShiftExpression],
    };

    /// <summary>The changes, each the node and what takes its place.</summary>
    public static IEnumerable<(SyntaxNode Node, string After)> In(SyntaxNode root)
    {
        foreach (SyntaxNode node in root.DescendantNodes().Where(MayChange))
        {
            if (node is BinaryExpressionSyntax binary && Operators.TryGetValue(binary.Kind(), out SyntaxKind[]? others) && !IsText(binary))
            {
                foreach (SyntaxKind other in others)
                {
                    yield return (binary, $"{binary.Left} {Token(other)} {binary.Right}");
                }
            }
            else if (node is PrefixUnaryExpressionSyntax { RawKind: (int)SyntaxKind.LogicalNotExpression } not)
            {
                yield return (not, not.Operand.ToString());
            }
            else if (node is LiteralExpressionSyntax literal && literal.Kind() is SyntaxKind.TrueLiteralExpression or SyntaxKind.FalseLiteralExpression)
            {
                yield return (node, node.IsKind(SyntaxKind.TrueLiteralExpression) ? "false" : "true");
            }
            else if (node is ExpressionStatementSyntax { Expression: InvocationExpressionSyntax or AssignmentExpressionSyntax or PostfixUnaryExpressionSyntax } statement && !IsDiscard(statement))
            {
                yield return (statement, "");
            }
        }
    }

    /// <summary>The code with a switch at the node.</summary>
    public static string Switched(SyntaxNode node, string inner, int id, string after) => node is StatementSyntax
        ? $"if (!global::MemSim.MutantSwitch.Is({id})) {{ {inner} }}"
        : $"(global::MemSim.MutantSwitch.Is({id}) ? ({after}) : ({inner}))";

    private static string Token(SyntaxKind kind) => kind switch
    {
        SyntaxKind.LessThanExpression => "<",
        SyntaxKind.LessThanOrEqualExpression => "<=",
        SyntaxKind.GreaterThanExpression => ">",
        SyntaxKind.GreaterThanOrEqualExpression => ">=",
        SyntaxKind.EqualsExpression => "==",
        SyntaxKind.NotEqualsExpression => "!=",
        SyntaxKind.LogicalAndExpression => "&&",
        SyntaxKind.LogicalOrExpression => "||",
        SyntaxKind.AddExpression => "+",
        SyntaxKind.SubtractExpression => "-",
        SyntaxKind.DivideExpression => "/",
        SyntaxKind.LeftShiftExpression => "<<",
        _ => ">>",
    };

    /// <summary>Inside of methods and properties; not in constants, attributes, patterns, defaults, nor in what is only said to people or checked in the Debug build.</summary>
    private static bool MayChange(SyntaxNode node)
    {
        bool inBody = false;
        foreach (SyntaxNode above in node.Ancestors())
        {
            switch (above)
            {
                case AttributeSyntax or PatternSyntax or CaseSwitchLabelSyntax or ParameterSyntax or EnumMemberDeclarationSyntax or InterpolatedStringExpressionSyntax or ThrowExpressionSyntax or ThrowStatementSyntax:
                case LocalDeclarationStatementSyntax { IsConst: true }:
                case FieldDeclarationSyntax field when field.Modifiers.Any(SyntaxKind.ConstKeyword):
                case InvocationExpressionSyntax call when call.Expression.ToString() is "Debug.Assert" or "System.Diagnostics.Debug.Assert" || call.Expression.ToString().EndsWith("Corrupt", StringComparison.Ordinal):
                case RefExpressionSyntax:
                    return false;
                case MethodDeclarationSyntax method:
                    return method.Identifier.Text is not ("ToString" or "Describe" or "GetHashCode" or "Dispose") && !method.Identifier.Text.StartsWith("Verify", StringComparison.Ordinal) && !method.Identifier.Text.StartsWith("Check", StringComparison.Ordinal);
                case AccessorDeclarationSyntax or PropertyDeclarationSyntax or ConstructorDeclarationSyntax or LocalFunctionStatementSyntax:
                    inBody = true;
                    break;
                case TypeDeclarationSyntax:
                    return inBody;
            }
        }

        return false;
    }

    private static bool IsText(BinaryExpressionSyntax binary) =>
        binary.DescendantNodes().Any(n => n is InterpolatedStringExpressionSyntax || n.IsKind(SyntaxKind.StringLiteralExpression) || n.IsKind(SyntaxKind.NullLiteralExpression));

    private static bool IsDiscard(ExpressionStatementSyntax statement) =>
        statement.Expression is InvocationExpressionSyntax call && (call.Expression.ToString().Contains("Trace", StringComparison.Ordinal) || call.Expression.ToString().Contains("ThrowIf", StringComparison.Ordinal) || call.Expression.ToString().Contains("Debug", StringComparison.Ordinal));
}
