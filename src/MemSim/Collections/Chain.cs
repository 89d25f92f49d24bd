using System.Collections;
using System.Diagnostics;

namespace MemSim.Collections;

/// <summary>A list that is linked through its members, so that none is made when one comes or goes, and each is taken out from anywhere in one step (<c>struct list_head</c>).</summary>
/// <typeparam name="T">The members.</typeparam>
/// <typeparam name="TLinks">Which of a member's links are this list's: one type for each list that a member can be in.</typeparam>
/// <remarks>Not .NET's own: a machine's state consists of the library's types, which snapshots carry field by field.</remarks>
internal sealed class Chain<T, TLinks> : IEnumerable<T>
    where T : class
    where TLinks : struct, IChainLinks<T, TLinks>
{
    public T? First { get; private set; }

    public T? Last { get; private set; }

    public int Count { get; private set; }

    /// <summary>The list of this kind that a member is in; null for none.</summary>
    public static Chain<T, TLinks>? Of(T member) => TLinks.Of(member).Chain;

    /// <summary>The member behind one.</summary>
    public static T? Next(T member) => TLinks.Of(member).Next;

    public bool Contains(T member) => ReferenceEquals(Of(member), this);

    public void AddFirst(T member) => Insert(member, null, First);

    public void AddLast(T member) => Insert(member, Last, null);

    public void AddAfter(T member, T before) => Insert(member, before, Next(before));

    public void Remove(T member)
    {
        Debug.Assert(Contains(member) && Count > 0, "a member of this list");
        ref Links<T, TLinks> links = ref TLinks.Of(member);
        if (links.Previous is { } previous)
        {
            TLinks.Of(previous).Next = links.Next;
        }
        else
        {
            First = links.Next;
        }

        if (links.Next is { } next)
        {
            TLinks.Of(next).Previous = links.Previous;
        }
        else
        {
            Last = links.Previous;
        }

        links = default;
        Count--;
        Debug.Assert(First is null == (Count == 0) && Last is null == (Count == 0), "the list has ends if it has members");
    }

    public IEnumerator<T> GetEnumerator()
    {
        for (T? member = First; member is not null; member = Next(member))
        {
            yield return member;
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private void Insert(T member, T? before, T? after)
    {
        ref Links<T, TLinks> links = ref TLinks.Of(member);
        Debug.Assert(links.Chain is null, "in no list");
        links = new Links<T, TLinks> { Chain = this, Previous = before, Next = after };
        if (before is null)
        {
            First = member;
        }
        else
        {
            TLinks.Of(before).Next = member;
        }

        if (after is null)
        {
            Last = member;
        }
        else
        {
            TLinks.Of(after).Previous = member;
        }

        Count++;
        Debug.Assert(First is not null && Last is not null, "the list has ends if it has members");
    }
}

/// <summary>A member's place in a <see cref="Chain{T, TLinks}"/>: a field of the member.</summary>
internal struct Links<T, TLinks>
    where T : class
    where TLinks : struct, IChainLinks<T, TLinks>
{
    /// <summary>The list that it is in; null for none.</summary>
    public Chain<T, TLinks>? Chain;

    public T? Previous;

    public T? Next;
}

/// <summary>Finds the links of a member.</summary>
internal interface IChainLinks<T, TLinks>
    where T : class
    where TLinks : struct, IChainLinks<T, TLinks>
{
    static abstract ref Links<T, TLinks> Of(T member);
}
