using System.Collections;
using System.Diagnostics;

namespace MemSim.CompressedMemory;

/// <summary>A list in which each member has its link, so that it is taken out from anywhere in one step (<c>struct list_head</c>).</summary>
/// <remarks>Not .NET's own: a machine's state consists of the library's types, which snapshots carry field by field.</remarks>
internal sealed class Chain<T> : IEnumerable<T>
    where T : class
{
    public Link<T>? First { get; private set; }

    public Link<T>? Last { get; private set; }

    public int Count { get; private set; }

    public void AddFirst(Link<T> link) => Insert(link, null, First);

    public void AddLast(Link<T> link) => Insert(link, Last, null);

    public void Remove(Link<T> link)
    {
        Debug.Assert(ReferenceEquals(link.Chain, this), "a member of this list");
        if (link.Previous is null)
        {
            First = link.Next;
        }
        else
        {
            link.Previous.Next = link.Next;
        }

        if (link.Next is null)
        {
            Last = link.Previous;
        }
        else
        {
            link.Next.Previous = link.Previous;
        }

        (link.Chain, link.Previous, link.Next) = (null, null, null);
        Count--;
    }

    public IEnumerator<T> GetEnumerator()
    {
        for (Link<T>? link = First; link is not null; link = link.Next)
        {
            yield return link.Value;
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private void Insert(Link<T> link, Link<T>? before, Link<T>? after)
    {
        Debug.Assert(link.Chain is null, "in no list");
        (link.Chain, link.Previous, link.Next) = (this, before, after);
        if (before is null)
        {
            First = link;
        }
        else
        {
            before.Next = link;
        }

        if (after is null)
        {
            Last = link;
        }
        else
        {
            after.Previous = link;
        }

        Count++;
    }
}

/// <summary>A member's place in a <see cref="Chain{T}"/>.</summary>
internal sealed class Link<T>(T value)
    where T : class
{
    public T Value => value;

    /// <summary>The list that it is in; null for none.</summary>
    public Chain<T>? Chain { get; set; }

    public Link<T>? Previous { get; set; }

    public Link<T>? Next { get; set; }
}
